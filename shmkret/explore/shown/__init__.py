"""What a failure looks like.

Read `lanes` (its steps, a column a CPU), `strings` (its schedule, as a word to keep), `followed` (the lines of its steps: the
same schedule on greenlets).
"""
