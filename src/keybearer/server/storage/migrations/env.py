"""Where Alembic starts. It writes SQL, which `schema.py` runs over the storage's own drivers; so no other is needed."""

from alembic import context

context.configure(
    dialect_name=context.config.attributes["dialect"],
    output_buffer=context.config.output_buffer,
    literal_binds=True,
    transactional_ddl=False,  # schema.py brackets the whole run with one transaction
)
context.run_migrations()
