"""What Django's models can't say: how the tables are vacuumed, and which symbols a new database starts with."""

from django.conf import settings
from django.db import migrations

# Tables that only grow are vacuumed far too rarely by default (at 20 % new rows). A vacuum marks pages all-visible, and
# only then does an index-only scan stay off the table; it reads the new pages only, so doing it often costs little.
VACUUM_PRICES_OFTEN = """
ALTER TABLE prices SET (
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 500000
)
"""
# The newest candle of each symbol is updated with every batch: room on the page keeps that off the index.
LEAVE_ROOM_IN_CANDLES = """
ALTER TABLE candles SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000
)
"""


def add_first_symbols(apps, schema_editor):
    Symbol = apps.get_model("prices", "Symbol")
    Symbol.objects.using(schema_editor.connection.alias).bulk_create(
        [Symbol(name=name) for name in sorted(set(settings.SYMBOLS))], ignore_conflicts=True
    )


class Migration(migrations.Migration):
    dependencies = [("prices", "0001_initial")]

    operations = [
        migrations.RunSQL(VACUUM_PRICES_OFTEN, migrations.RunSQL.noop),
        migrations.RunSQL(LEAVE_ROOM_IN_CANDLES, migrations.RunSQL.noop),
        migrations.RunPython(add_first_symbols, migrations.RunPython.noop),
    ]
