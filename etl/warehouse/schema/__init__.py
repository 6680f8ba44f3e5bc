"""Views, functions and rights on top of the tables: put in place without harm to others' work."""
