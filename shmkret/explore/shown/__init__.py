"""What a failure looks like.

Read `lanes` (its steps, a column a CPU), `inflection` (the step after which all is lost), `strings` (its schedule, as a word to
keep), `followed` (the lines of its steps: the same schedule on greenlets), `plainly` (the lanes of what greenlets have found).
"""
