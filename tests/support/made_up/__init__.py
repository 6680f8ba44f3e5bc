"""Made-up numbers that keep the rules of the schema; a module per room of the house."""
