"""The operator with a time-out of some seconds where it has half a minute, and which comes back to what has failed at
least once a second, so that tests needn't wait for that.
"""

from functools import partial

import aiohttp

from mistral_operator.cli.main import main
from mistral_operator.cluster import client
from mistral_operator.controller import queue

TIMEOUT_S = 3.0
LONGEST_BACKOFF_S = 1.0

if __name__ == "__main__":
    client._TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=TIMEOUT_S)
    queue.Backoff = partial(queue.Backoff, cap_s=LONGEST_BACKOFF_S)  # type: ignore[assignment,misc]
    main()
