"""What a number is, where it is kept and how sure it is: cells, samples, estimates, records, claims, the store."""
