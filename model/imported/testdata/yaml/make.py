#!/usr/bin/python3
"""Makes MLmodel files with names that YAML and JSON both have to escape, as PyYAML writes them, and what they say."""
import json
import os

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["customer's age", "ключ", "quote \" x", "a: b # c", "double  space", "trailing colon:", "{brace}", "100%", "x" * 90, "ab " * 40 + "z", "- dash",
         "emoji 😀", "back\\slash", "it''s", "&anchor *alias", "null", "1.5", "comma, and 'quoted' words that go on for so long that the line is folded"]
WORDS = ["it's", "ключ", "x: y", "- z", "null", "1.0", "~", True, 1, 1.5]

inputs = json.dumps([{"type": "double", "name": n, "required": True} for n in NAMES])
mlmodel = {"signature": {"inputs": inputs, "outputs": None}, "metadata": {"categories": {"a: b": WORDS}}}
for name, options in {"ascii": {}, "unicode": {"allow_unicode": True}}.items():
    with open(os.path.join(HERE, name + ".yaml"), "w") as f:
        yaml.safe_dump(mlmodel, f, default_flow_style=False, **options)
with open(os.path.join(HERE, "want.json"), "w") as f:
    json.dump({"inputs": inputs, "names": NAMES, "words": [w if isinstance(w, str) else json.dumps(w) for w in WORDS]}, f)
    f.write("\n")
