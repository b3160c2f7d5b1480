"""Measuring: what a suite asks for, each cell run in rounds with the others, and what may be said of the numbers.

    suite -> cell -> subjects -> window     a plan; the key of each result; what is measured; one repetition's phases
    bench                                   every cell once a round, forwards and backwards in turn
    statistics, scaling, compare            an interval, a law over CPUs, two results
    latency, transfer, overhead             times of single calls, of a cache line, and what measuring costs
    validity, doctor                        the reasons to doubt a number, and those to doubt this computer
    report/                                 a result as a folder, tables, plots and a page

Always    a repetition has fresh processes on a fresh arena, and is audited; what failed has no number
          every number comes with its interval and its doubts, and one that the oracle contradicts is withheld
          a result is written once, and read for ever: `report.earlier` puts an old one in today's words

Read `cell`, `subjects`, `window` (one repetition), then `suite`, `bench`, `statistics`, `validity` (a run), then the rest.
"""
