"""What is wanted of a tape that is there already: everything between its first and its newest trade."""

from django.db import migrations

COVER_WHAT_IS_STORED = """
INSERT INTO coverage (symbol, first_trade_id, last_trade_id, origin, closed_at)
SELECT name, stored.first_id, CASE WHEN tracked THEN NULL ELSE stored.last_id END, 'stored',
       CASE WHEN tracked THEN NULL ELSE now() END
FROM symbols
CROSS JOIN LATERAL (
    SELECT min(first_trade_id) AS first_id, max(last_trade_id) AS last_id FROM hour_candles WHERE symbol = name
) AS stored
WHERE stored.first_id IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("prices", "0005_coverage_and_claims")]

    operations = [migrations.RunSQL(COVER_WHAT_IS_STORED, migrations.RunSQL.noop)]
