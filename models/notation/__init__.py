"""How values and rows are written outside the database: one notation for all that leaves it."""
