"""The operator with a time-out of some seconds where it has half a minute, so that tests needn't wait for that."""

import aiohttp

from mistral_operator.cli.main import main
from mistral_operator.cluster import client

TIMEOUT_S = 3.0

if __name__ == "__main__":
    client._TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=TIMEOUT_S)
    main()
