"""Raw downloads of real data sets: what their readers share, and how a scan becomes a scene folder."""
