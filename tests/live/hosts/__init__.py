"""A WebUI for the suite with one command: `make host HOST=a1111|forge|neo`, `make host-stop`.

pins      which commits of which repositories, since which day
versions  one file a host: every package of its environment
shared    what the hosts have in common: cloning, the environment, starting and stopping
a1111, forge, neo   what is each host's own
small     models of random weights that the hosts load and draw with on a CPU: `sizes` is the table
"""
