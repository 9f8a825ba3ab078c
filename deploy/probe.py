#!/usr/bin/env python3
"""`tandem-probe URL` in the images, for probes that are commands: status 0 if the URL is answered with 200."""

import sys
import urllib.request

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # podman hands on the machine's proxy variables
try:
    direct.open(sys.argv[1], timeout=4).close()
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
