"""Running a benchmark: questions by video, a journal that survives a kill, probes, reports, comparisons."""
