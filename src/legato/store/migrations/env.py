"""Alembic's entry point: migrations run on the connection that ``store.upgrade`` hands over."""

from alembic import context

from legato.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
