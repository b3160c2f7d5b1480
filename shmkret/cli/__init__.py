"""The command line. Promises: data to standard output, words to standard error, an exit code that says which of them counts.

What it asks of the rooms below is in their words; what they answer, and how they refuse, is put into options here.

    main            from the words to the exit code; COMMANDS
    options         what the options of several commands share
    output          objects, words, and the command that gives them again
    progress        how far a run is
    bench compare report doctor list
    stress          its options; combinations checks them, stressed runs each and prints its line
    explore         searches every interleaving; replay follows a schedule that it has printed
    join inspect repair clean
"""
