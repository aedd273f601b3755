"""Runs the migrations on the connection, and in the transaction, of forecasting.store.migrate."""

from alembic import context

from forecasting.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by rebuilding it
    transactional_ddl=True,  # also on our SQLite connections, which send BEGIN themselves
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
