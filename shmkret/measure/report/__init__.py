"""What a result looks like: a folder whose results.json holds all that was measured, and from which the rest is made again.

    rows      cells as flat rows, and what tells one from another
    tables    for a terminal
    panels    what a plot consists of; axes   how one is drawn; plots, waits   those of rates, those of times
    html      the page: plots, tables and raw data in one file that loads nothing
    pyperf    the same samples for another tool
    earlier   results of earlier schemas
    folder    reads, checks and writes all of it

Always    nothing here measures, and nothing here knows the arena: a result is plain JSON

Read `rows`, `folder`, `tables`, then `panels`, `axes`, `plots`, `waits`, `html`.
"""
