"""The page on which readers ask in SQL: statement, result, saved questions, the schema."""
