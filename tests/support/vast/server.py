"""dstack's own server with Vast.ai's address moved to `$VAST`. `python server.py PORT TOKEN`."""

import os
import sys

import httpx
from dstack._internal.cli.main import main
from dstack._internal.core.backends.vastai import api_client
from gpuhunt.providers import vastai

vastai.bundles_url = os.environ["VAST"] + "/api/v0/bundles/"


def moved(self, api_key):
    self.s = httpx.Client(base_url=os.environ["VAST"] + "/api/", timeout=30)


api_client.VastAIAPIClient.__init__ = moved
sys.argv = ["dstack", "server", "--port", sys.argv[1], "--token", sys.argv[2], "-y", "-l", "INFO"]
main()
