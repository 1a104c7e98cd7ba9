"""Records and claims in, pages out: tables, plots, one HTML page, a terminal table. Computes no statistic."""
