"""What the command line's commands do; `vlm3r.cli` only parses and imports these when they run."""
