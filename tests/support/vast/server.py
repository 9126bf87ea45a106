"""dstack's own server with Vast.ai's address moved to `$VAST`. `python server.py PORT TOKEN`.

Two of its times are shortened, so that a test need not wait for them: it keeps a list of offers for
15 s instead of 180, and gives a running machine that is unreachable 15 s instead of 120.
"""

import os
import sys
from datetime import timedelta

# What dstack's settings read when they are imported; it asks a question otherwise.
os.environ["DSTACK_UPDATE_DEFAULT_PROJECT"] = "1"

import cachetools
import httpx
from dstack._internal.cli.main import main
from dstack._internal.core.backends.base import compute
from dstack._internal.core.backends.vastai import api_client
from dstack._internal.server.background.pipeline_tasks import jobs_running
from gpuhunt.providers import vastai

vastai.bundles_url = os.environ["VAST"] + "/api/v0/bundles/"


def moved(self, api_key):
    self.s = httpx.Client(base_url=os.environ["VAST"] + "/api/", timeout=30)


api_client.VastAIAPIClient.__init__ = moved
compute.TTLCache = lambda maxsize, ttl: cachetools.TTLCache(maxsize=maxsize, ttl=min(ttl, 15))
jobs_running.JOB_DISCONNECTED_RETRY_TIMEOUT = timedelta(seconds=15)
sys.argv = ["dstack", "server", "--port", sys.argv[1], "--token", sys.argv[2], "-y", "-l", "INFO"]
main()
