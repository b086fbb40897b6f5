"""Asks audit/diatreme_verify.py many questions in one process: a line of JSON in, a line of JSON out.

{"directory": PATH}                                         the report on a data directory
{"proof": BYTES, "key": VKEY, "old": BYTES or null}         what a proof proves, with the checkpoint that was kept

Bytes are an array of numbers. An answer is that, or {"refused": WHY}.
"""

import functools
import json
import sys

sys.path.insert(0, sys.argv[1])
import diatreme_verify as verifier  # noqa: E402

# From one changed byte to the next nearly all that is summed is the same.
verifier.crc32c = functools.lru_cache(maxsize=1024)(verifier.crc32c)


def directory(question):
    return verifier.report_json(verifier.verify_directory(question["directory"]), [])


def proof(question):
    keys = [verifier.parse_key(question["key"])]
    old = question["old"] and verifier.open_checkpoint(bytes(question["old"]), keys)
    return verifier.verify_proof(bytes(question["proof"]), keys, old)


def answer(question):
    kind = next(kind for kind in (directory, proof) if kind.__name__ in question)
    try:
        return kind(question)
    except (verifier.Refused, verifier.Usage) as refused:
        return {"refused": str(refused)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
