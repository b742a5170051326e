"""What users touch: the command line, the Agent API and everything kept on disk.

Only this floor and `duopoly.lab` read and write files. The mathematics below yields a stream of
rounds and knows nothing of what is made of it here.
"""
