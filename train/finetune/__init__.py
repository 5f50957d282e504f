"""Fine-tuning as the 2020 blog describes it: segments, recipes, loop, contamination study."""
