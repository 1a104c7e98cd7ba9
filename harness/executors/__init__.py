"""Where a sweep's variants are measured. Each executor yields the same outcomes for the same jobs."""
