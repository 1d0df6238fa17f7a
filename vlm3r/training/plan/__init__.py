"""What a training run costs: FLOPs, memory and hours from the configuration alone, and beside what was measured."""
