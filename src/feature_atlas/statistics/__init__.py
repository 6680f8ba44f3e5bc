"""How sure a number is: intervals, tests, power, bootstrap weights (all sections)."""
