"""How the schema got here: Alembic revisions, and the views that lie on top of the newest one.

There is no alembic.ini: `etl/warehouse/migrate.py` builds the configuration. Views are not
revisions: `views/*.sql` are always those of the newest revision, and are put back after every
change of the tables below them.
"""
