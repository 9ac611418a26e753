"""Write docs/openapi.json, the machine-readable contract: what the service answers at /openapi.json."""

import json

from generated import write_or_check
from keybearer.server.http.openapi import document

if __name__ == "__main__":
    text = json.dumps(document(), indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    write_or_check("docs/openapi.json", text, generator="tools/generate_openapi.py")
