# The suite's command line, under Python 2.7: autobahn_client.py -m fuzzingclient -s SPEC
from autobahntestsuite.wstest import run

run()
