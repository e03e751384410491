"""The built page's files: who may keep them, and under which policy they are shown."""

import re

import pytest

from tests.http.api import Api

pytestmark = pytest.mark.anyio
