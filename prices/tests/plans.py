"""How PostgreSQL goes about a query."""

from django.db import connection


def scans_of(table, sql, *, analyze=False):
    """Run EXPLAIN; return the nodes of the plan that read `table`."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE {analyze}, FORMAT JSON) {sql}")
        ((plan,),) = cursor.fetchall()
    return [node for node in _nodes_of(plan[0]["Plan"]) if node.get("Relation Name") == table]


def _nodes_of(plan):
    return [plan, *(node for part in plan.get("Plans", []) for node in _nodes_of(part))]
