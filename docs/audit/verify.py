#!/usr/bin/env python3
"""A second verifier of distill stores. It shares no code with distill and was written from docs/format.md alone.

    python3 verify.py DIR [--json]       DIR holds .distill, or is it

Reads packs/ and ops/ and nothing else: store.redb is not asked. Needs Python 3.9 or later, `blake3` and `zstandard`.
Prints what it went through and everything that is wrong; exits 0 when nothing is, 4 when something is. Without store.redb
it cannot know whether the last operation was confirmed (format.md 3.4), so it takes all of them for confirmed.
"""

import decimal
import hashlib
import json
import os
import re
import struct
import sys

from blake3 import blake3
from zstandard import ZstdDecompressor, ZstdError

OPERATION = {"at", "dropped_packs", "head", "message", "number", "operation", "packs", "previous", "ref_changes", "schema"}
COMMIT = {"author", "committed_at", "config_files", "config_id", "datasets", "drift_id", "generation", "message",
          "operation", "parents", "receipts", "run_id", "schema", "summary_id", "tool"}
TAG = {"message", "name", "schema", "tagged_at", "tagger", "target"}
SCHEMAS = {"evidence": "distill.evidence_record.v1", "scored-runs": "distill.scored_run.v1",
           "exports/rag": "distill.rag_sample.v1", "exports/sft": "distill.sft_sample.v1",
           "exports/preference": "distill.preference_sample.v1", "quarantine": "distill.quarantine_entry.v1",
           "duplicates": "distill.duplicate_entry.v1"}
STAGE_OF = {"sources": "sources", "evidence": "evidence", "scored-runs": "score", "exports/rag": "export-rag",
            "exports/sft": "export-sft", "exports/preference": "export-preference"}

class Wrong(Exception):
    """Bytes that are not what they should be."""

# --- 1. canonical JSON --------------------------------------------------------------------------------------------------
class Number(str):
    """A number in its canonical spelling."""

def real(token):
    """A token with a fraction or an exponent, through binary64 and printed as ECMAScript does."""
    value = float(token)
    if value == 0:
        return Number("0")
    if value in (float("inf"), float("-inf")):
        raise Wrong("json_number_overflow")
    negative, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + exponent
    if len(text) <= point <= 21:
        text += "0" * (point - len(text))
    elif 0 < point <= 21:
        text = text[:point] + "." + text[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + text
    else:
        text = text[0] + ("." + text[1:] if len(text) > 1 else "") + "e%+d" % (point - 1)
    return Number("-" * negative + text)

def members(pairs):
    return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse("json_duplicate_key")

def refuse(word):
    raise Wrong(word)

def read_json(data):
    """The value of a JSON text; numbers are `Number`s."""
    try:
        text = data.decode("utf-8")
        integer = lambda token: Number("0" if token == "-0" else token)
        return json.loads(text, parse_int=integer, parse_float=real, parse_constant=refuse, object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise Wrong("not JSON: %s" % error) from None

def form(value, depth=0):
    """The canonical form of a value, as text."""
    if isinstance(value, Number):
        return value
    if isinstance(value, (list, dict)) and depth == 256:
        raise Wrong("json_too_deep")
    if isinstance(value, list):
        return "[" + ",".join(form(item, depth + 1) for item in value) + "]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(form(key) + ":" + form(value[key], depth + 1) for key in keys) + "}"
    return json.dumps(value, ensure_ascii=False)

def canonical(data):
    """The canonical form of a JSON text, as bytes."""
    try:
        return form(read_json(data)).encode("utf-8")
    except UnicodeEncodeError:
        raise Wrong("json_lone_surrogate") from None

def record(data, schema=None, names=None):
    """A stored object of distill's own: canonical, of this schema, with just these members."""
    value = read_json(data)
    if canonical(data) != data:
        raise Wrong("it is not in canonical form")
    if not isinstance(value, dict):
        raise Wrong("it is no JSON object")
    if schema and value.get("schema") != schema:
        raise Wrong("its schema is %s, not %s" % (value.get("schema"), schema))
    if names and set(value) != names:
        raise Wrong("its members are not those of %s" % schema)
    return value

def sig_hash(data, unit):
    """SHA-256 of the canonical form of a unit; of a file of several texts, of their forms, a line each."""
    try:
        return hashlib.sha256(canonical(data)).hexdigest()
    except Wrong:
        if unit != "file":
            raise
    text, read = b"", 0
    for line in data.split(b"\n"):
        line = line.strip(b" \t\r\n\x0c")
        if not line:
            continue
        try:
            text, read = text + canonical(line) + b"\n", read + 1
        except Wrong:
            text += line + b"\n"
    if not read:
        raise Wrong("it has no canonical form")
    return hashlib.sha256(text).hexdigest()

# --- 4. keys ------------------------------------------------------------------------------------------------------------
def encoded(segment):
    if segment in (".", ".."):
        return segment.replace(".", "%2E")
    return "".join(chr(b) if chr(b).isalnum() and b < 128 or chr(b) in "-_." else "%%%02X" % b for b in segment.encode())

def source_key(path, unit):
    name = "/".join(encoded(part) for part in path.split("/") if part not in ("", "."))
    if len(name) > 179:
        cut = re.sub(r"%.?$", "", name[:162])
        name = cut + "~" + blake3(name.encode()).hexdigest()[:16]
    return "%s/%010d" % (name, unit)

# --- 3.2 packs ----------------------------------------------------------------------------------------------------------
def read_file(path):
    with open(path, "rb") as file:
        return file.read()

class Pack:
    """One pack, checked whole; `objects` has what its table names and what hashes to its name."""

    def __init__(self, path, name, find):
        self.path, self.objects, self.blocks, self.tombstones, self.cached = path, {}, [], set(), (None, None)
        self.data = read_file(path)
        if blake3(self.data).hexdigest() != name:
            find("V0", "pack", None, path, "the file does not hash to its name")
        try:
            self.envelope(find)
        except (Wrong, struct.error) as error:
            find("V0", "pack", None, path, str(error))

    def envelope(self, find):
        data, foot = self.data, len(self.data) - 144
        if foot < 16 or data[:16] != b"DSTLPACK\x01\0\0\0\0\0\0\0" or data[-8:] != b"DSTLTAIL":
            raise Wrong("it does not begin and end as a pack does")
        if blake3(data[:16] + data[foot:foot + 104]).digest() != data[foot + 104:foot + 136]:
            raise Wrong("the footer does not match its hash")
        version, fan_bits, blocks, count, stones, zero, directory, total = struct.unpack_from("<6I2Q", data, foot)
        table = directory + 20 * blocks
        graves, fan = table + 44 * count, table + 44 * count + 32 * stones
        if version != 1 or zero or fan + 12 * 2**fan_bits != foot:
            raise Wrong("the footer's numbers do not add up")
        if fan_bits != next(bits for bits in range(25) if count >> bits <= 64 or bits == 24):
            raise Wrong("the number of buckets is not the one for so many objects")
        for start, at, what in ((directory, 40, "directory, table, tombstones and fan-out"), (graves, 72, "tombstones and fan-out")):
            if blake3(data[start:foot]).digest() != data[foot + at:foot + at + 32]:
                find("V0", "pack", None, self.path, what + " do not match their hash")
        self.tombstones = {data[graves + 32 * n:graves + 32 * n + 32].hex() for n in range(stones)}
        self.blocks = [struct.unpack_from("<Q3I", data, directory + 20 * n) for n in range(blocks)]
        at = 16
        for offset, packed, _, _ in self.blocks:
            if offset != at:
                find("V0", "pack", None, self.path, "a block does not follow the one before it")
            at = offset + packed
        if at != directory:
            find("V0", "pack", None, self.path, "bytes between the blocks and the directory")
        rows = [struct.unpack_from("<32s3I", data, table + 44 * n) for n in range(count)]
        if any(a[0] >= b[0] for a, b in zip(rows, rows[1:])):
            find("V0", "pack", None, self.path, "the table is not sorted")
        before = 0
        for bucket in range(2**fan_bits):
            end, check = struct.unpack_from("<I8s", data, fan + 12 * bucket)
            part = data[table + 44 * before:table + 44 * end] if before <= end <= count else None
            if part is None or blake3(part).digest()[:8] != check:
                raise Wrong("bucket %d of the table does not match its check" % bucket)
            if any(int.from_bytes(row[0], "big") >> (256 - fan_bits) != bucket for row in rows[before:end]):
                find("V0", "pack", None, self.path, "an object stands in the wrong bucket")
            before = end
        if before != count:
            raise Wrong("the buckets do not hold all objects")
        length = 0
        for name, block, offset, size in sorted(rows, key=lambda row: (row[1], row[2])):
            length += size
            try:
                if blake3(self.cut(block, offset, size)).digest() != name:
                    raise Wrong("its bytes do not hash to its id")
                self.objects[name.hex()] = (block, offset, size)
            except (Wrong, IndexError) as error:
                find("V1", "object", name.hex(), self.path, str(error))
        if length != total:
            find("V0", "pack", None, self.path, "the footer's total does not match the objects")

    def cut(self, block, offset, size):
        if self.cached[0] != block:
            at, packed, unpacked, _ = self.blocks[block]
            try:
                text = ZstdDecompressor().decompress(self.data[at:at + packed], max_output_size=unpacked)
            except ZstdError as error:
                raise Wrong("its block cannot be unpacked: %s" % error) from None
            if len(text) != unpacked:
                raise Wrong("its block has another length than the directory says")
            self.cached = (block, text)
        found = self.cached[1][offset:offset + size]
        if len(found) != size:
            raise Wrong("it does not lie inside its block")
        return found

# --- 2. trees -----------------------------------------------------------------------------------------------------------
def ends_after(level, key, size):
    """Whether a node of this size, this entry included, ends with this key."""
    if size < 1024 or size >= 20480:
        return size >= 20480
    hashed = int.from_bytes(blake3(bytes([level]) + key).digest()[:4], "little")
    return hashed < (len(key) + 77) * size**3 // 393216

def parse_node(data):
    """Level and entries of a node; refuses what no writer would have written."""
    value = record(data, "distill.tree_node.v1", {"entries", "level", "schema"})
    number = lambda n: isinstance(n, Number) and n.isdigit() and int(n) < 2**64
    level, entries = value["level"], value["entries"]
    if len(data) > 32768 or not number(level) or int(level) > 40 or not isinstance(entries, list):
        raise Wrong("it is no tree node")
    level, rows = int(level), []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != (3 if level == 0 else 4):
            raise Wrong("an entry has the wrong number of parts")
        key, name, sizes = entry[0], entry[1], entry[2:]
        good = isinstance(key, str) and not isinstance(key, Number) and 0 < len(key.encode()) <= 255
        if not good or re.search(r'[\x00-\x1f\x7f"\\]', key) or not re.fullmatch("[0-9a-f]{64}", str(name)):
            raise Wrong("an entry has no proper key or id")
        if not all(map(number, sizes)) or level and sizes[0] == "0":
            raise Wrong("an entry has no proper sizes")
        rows.append((key.encode(), name, *([1] if level == 0 else []), *map(int, sizes)))
    if level and not rows:
        raise Wrong("an interior node is empty")
    if any(a[0] >= b[0] for a, b in zip(rows, rows[1:])):
        raise Wrong("its keys do not ascend")
    return level, rows

class Store:
    """Everything in packs/ and ops/."""

    def __init__(self, folder):
        self.folder, self.packs, self.refs, self.head = folder, [], {}, "ref: heads/main"
        self.counts = dict.fromkeys("operations packs packed_objects refs tags commits nodes rows links".split(), 0)
        self.findings, self.known, self.linked, self.checked, self.seen = [], set(), set(), set(), set()
        self.trees, self.commits, self.nodes, self.digests, self.sigs, self.parsed = {}, {}, {}, {}, {}, {}

    def find(self, level, kind, name, place, detail):
        """Notes that something is wrong; an object is named once for each thing."""
        if (kind, name, detail) not in self.known:
            self.known.add((kind, name, detail))
            place = os.path.relpath(place, self.folder) if place else None
            self.findings.append({"level": level, "kind": kind, "object": name, "place": place, "detail": detail})

    def lies(self, name):
        """The pack that has an object and its place there; the latest pack that has it answers."""
        for pack in reversed(self.packs):
            if name in pack.tombstones:
                break
            if name in pack.objects:
                return pack, pack.objects[name]
        raise Wrong("it is missing")

    def get(self, name):
        pack, place = self.lies(name)
        return pack.cut(*place)

    def row(self, name, schema):
        """A parsed record, kept."""
        if (name, schema) not in self.parsed:
            self.parsed[name, schema] = record(self.get(name), schema)
        return self.parsed[name, schema]

    def replay(self):
        """Reads the log and applies it; returns the packs that belong to the store, in order."""
        ops, packs = os.path.join(self.folder, "ops"), []
        numbers = sorted(int(name[:10]) for name in os.listdir(ops) if re.fullmatch(r"\d{10}\.json", name))
        previous, broken = None, False
        for number in range(1, (numbers[-1] if numbers else 0) + 1):
            path = os.path.join(ops, "%010d.json" % number)
            try:
                data = read_file(path)
                said = record(data, "distill.operation.v1", OPERATION)
                if said["number"] != str(number):
                    raise Wrong("it says that it is operation %s" % said["number"])
                if not broken and said["previous"] != previous:
                    raise Wrong("it does not name the operation before it by its hash")
                self.apply(said, packs)
                self.counts["operations"] += 1
                previous, broken = blake3(data).hexdigest(), False
            except (Wrong, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
                self.find("V3", "operation", None, path, str(error))
                broken = True
        return packs

    def apply(self, said, packs):
        for change in said["ref_changes"]:
            if self.refs.get(change["name"]) != change["old"]:
                raise Wrong("%s was not %s before it" % (change["name"], change["old"]))
            self.refs[change["name"]] = change["new"]
            if change["new"] is None:
                del self.refs[change["name"]]
        if said["head"]:
            if said["head"]["old"] != self.head:
                raise Wrong("HEAD was not %s before it" % said["head"]["old"])
            self.head = said["head"]["new"]
        packs[:] = [pack for pack in packs if pack["id"] not in said["dropped_packs"]] + said["packs"]

    def node(self, name):
        """Level, entries, least key, last key, rows, bytes and whether the boundary rule ends it; checked once."""
        if name not in self.nodes:
            level, entries = parse_node(self.get(name))
            size, is_cut = 0, False
            for entry in entries:
                if is_cut:
                    raise Wrong("it should have ended before `%s`" % entry[0].decode())
                size += len(entry[0]) + 77
                is_cut = ends_after(level, entry[0], size)
            totals = (sum(entry[2] for entry in entries), sum(entry[3] for entry in entries))
            self.nodes[name] = (level, entries, totals, is_cut)
            self.counts["nodes"] += 1
        return self.nodes[name]

    def tree(self, root, part):
        """The rows of a tree, key to id, in order; whatever is wrong with it is noted."""
        if root not in self.trees:
            rows, last = {}, [b""]
            self.walk(root, None, True, rows, last, part)
            if root in self.nodes and self.nodes[root][0] and len(self.nodes[root][1]) == 1:
                self.find("V2", "tree node of " + part, root, None, "a root with one child")
            self.trees[root] = rows
        return self.trees[root]

    def walk(self, name, claim, is_last, rows, last, part):
        try:
            level, entries, totals, is_cut = self.node(name)
            if claim:
                above, key, sums = claim
                if level != above - 1 or not entries or entries[-1][0] != key or totals != sums:
                    raise Wrong("it has not the level, last key, rows and bytes that the node above gives it")
            if not is_cut and not is_last:
                raise Wrong("it ends where no node should end")
        except Wrong as error:
            return self.find("V2", "tree node of " + part, name, None, str(error))
        for at, (key, child, count, size) in enumerate(entries):
            if level:
                self.walk(child, (level, key, (count, size)), is_last and at + 1 == len(entries), rows, last, part)
                continue
            if key <= last[0]:
                self.find("V2", "tree node of " + part, name, None, "its first key does not come after the one before it")
            last[0] = key
            rows[key.decode()] = child
            try:
                if self.lies(child)[1][2] != size:
                    raise Wrong("it has another length than the tree says")
                if child not in self.seen:
                    self.seen.add(child)
                    self.counts["rows"] += part in SCHEMAS or part in ("sources", "config files")
            except Wrong as error:
                self.find("V2", "row of " + part, child, None, str(error))

    def history(self):
        todo = []
        for name, target in sorted(self.refs.items()):
            self.counts["refs"] += 1
            if name.startswith("tags/"):
                try:
                    tag = record(self.get(target), "distill.tag.v1", TAG)
                    if tag["name"] != name[5:]:
                        raise Wrong("it was made for the name `%s`" % tag["name"])
                    self.counts["tags"] += 1
                    target = tag["target"]
                except Wrong as error:
                    self.find("V2", "tag", target, None, str(error))
                    continue
            todo.append(target)
        if not self.head.startswith("ref: "):
            todo.append(self.head)
        while todo:
            name = todo.pop()
            if name in self.commits:
                continue
            self.commits[name] = None
            try:
                commit = record(self.get(name), "distill.commit.v1", COMMIT)
                self.commits[name] = commit
                self.counts["commits"] += 1
                todo += commit["parents"]
            except Wrong as error:
                self.find("V2", "commit", name, None, str(error))
        for name, commit in self.commits.items():
            if commit:
                self.commit(name, commit)

    def commit(self, name, commit):
        parents = [self.commits.get(parent) for parent in commit["parents"]]
        if all(parents) and int(commit["generation"]) != max([int(p["generation"]) + 1 for p in parents] or [0]):
            self.find("V2", "commit", name, None, "its generation does not follow from its parents")
        for part, schema in (("summary_id", "run_summary"), ("drift_id", "drift_report"), ("config_id", "config")):
            if commit[part]:
                try:
                    record(self.get(commit[part]), "distill.%s.v1" % schema)
                except Wrong as error:
                    self.find("V2", schema, commit[part], None, str(error))
        if commit["config_files"]:
            self.tree(commit["config_files"], "config files")
        roots = commit["datasets"]
        for part, root in roots.items():
            for key, row in self.tree(root, part).items():
                if part in SCHEMAS and (row, key) not in self.checked:
                    self.checked.add((row, key))
                    try:
                        said = self.row(row, SCHEMAS[part])
                        own = said["key"] if "key" in said else said["id"]
                        if own != key:
                            raise Wrong("it carries the key `%s` and stands under `%s`" % (own, key))
                    except Wrong as error:
                        self.find("V2", "row of " + part, row, None, str(error))
        receipts = {}
        for stage, row in self.tree(commit["receipts"], "receipts").items():
            try:
                receipts[stage] = self.row(row, "distill.stage_receipt.v1")
                self.receipt(stage, row, receipts[stage])
            except Wrong as error:
                self.find("V2", "receipt", row, None, str(error))
        self.links(roots, receipts)

    def receipt(self, stage, name, said):
        """Section 6: counts that add up, totals and digests of what the stage put out, and the receipt before it."""
        if name in self.linked:
            return
        self.linked.add(name)
        counts = {what: int(number) for what, number in said["counts"].items()}
        if 2 * counts["rows_in"] + counts["records"] != sum(counts.values()):
            raise Wrong("rows_in is not the sum of the fates")
        if said["stage"] != stage:
            raise Wrong("it is the receipt of another stage")
        for output in said["outputs"]:
            rows, dataset = self.tree(output["root"], output["dataset"]), output["dataset"]
            root = self.nodes.get(output["root"])
            if root and root[2] != (int(output["rows"]), int(output["bytes"])):
                raise Wrong("%s has other rows or bytes than it says" % dataset)
            if output["jsonl_blake3"]:
                if output["root"] not in self.digests:
                    one, two = blake3(), hashlib.sha256()
                    for row in rows.values():
                        line = self.get(row) + b"\n"
                        one.update(line)
                        two.update(line)
                    self.digests[output["root"]] = (one.hexdigest(), two.hexdigest())
                if self.digests[output["root"]] != (output["jsonl_blake3"], output["jsonl_sha256"]):
                    raise Wrong("the JSONL of %s has other digests than it says" % dataset)
        if said["previous"]:
            record(self.get(said["previous"]), "distill.stage_receipt.v1")

    def links(self, roots, receipts):
        """Export row, scored run, evidence, raw row: in the trees that the receipts name as read."""
        def read(dataset, what):
            """The tree of `what` that was read when this tree of `dataset` was made."""
            said = receipts.get(STAGE_OF[dataset])
            while said and [dataset, roots.get(dataset)] not in [[out["dataset"], out["root"]] for out in said["outputs"]]:
                try:
                    said = self.row(said["previous"], "distill.stage_receipt.v1") if said["previous"] else None
                except Wrong:
                    said = None
            read_then = {i["dataset"]: i["root"] for i in said["inputs"]} if said else {}
            return read_then.get(what) or roots.get(what)
        tree = lambda root, dataset: self.tree(root, dataset) if root else {}
        of = lambda dataset: tree(roots.get(dataset), dataset)
        sources = tree(read("evidence", "sources"), "sources")
        for key, row in of("evidence").items():
            self.link("evidence", row, (sources is not None and id(sources), key), lambda said: self.source(said["provenance"], sources))
        evidence = tree(read("scored-runs", "evidence"), "evidence")
        for key, row in of("scored-runs").items():
            self.link("scored-runs", row, (evidence.get(key),), lambda said: self.same(said, evidence.get(key)))
        for dataset in ("exports/rag", "exports/sft"):
            evidence = tree(read(dataset, "evidence"), "evidence")
            scored = tree(read(dataset, "scored-runs"), "scored-runs")
            for key, row in of(dataset).items():
                self.link(dataset, row, (evidence.get(key), scored.get(key)),
                          lambda said: (self.same(said, evidence.get(key)), self.judged(said, scored.get(key))))
        evidence = tree(read("exports/preference", "evidence"), "evidence")
        for key, row in of("exports/preference").items():
            self.link("exports/preference", row, (id(evidence),), lambda said: self.sides(key, said, evidence))
        for dataset in ("quarantine", "duplicates"):
            for key, row in of(dataset).items():
                self.link(dataset, row, (id(sources),), lambda said: self.refused(said, sources))

    def link(self, dataset, row, against, check):
        """Checks one row against what it rests on, once."""
        if (row, against) in self.linked:
            return
        self.linked.add((row, against))
        try:
            check(self.row(row, SCHEMAS[dataset]))
            self.counts["links"] += 1
        except Wrong as error:
            self.find("V2", "link of " + dataset, row, None, str(error))
        except (KeyError, TypeError, AttributeError) as error:
            self.find("V2", "row of " + dataset, row, None, "a member is missing or of another type: %s" % error)

    def source(self, said, sources):
        """The raw row stands where provenance says, and hashes to `sig_hash`."""
        place = source_key(said["source_file"], int(said["line_offset"]))
        if sources.get(place) != said["raw_id"]:
            raise Wrong("`sources` has not %s under %s" % (said["raw_id"], place))
        if said["sig_hash"] is not None:
            if (said["raw_id"], said["unit"]) not in self.sigs:
                self.sigs[said["raw_id"], said["unit"]] = sig_hash(self.get(said["raw_id"]), said["unit"])
            if self.sigs[said["raw_id"], said["unit"]] != said["sig_hash"]:
                raise Wrong("the canonical form of the source row does not hash to its sig_hash")
        for lookup in said["lookup_ids"]:
            self.get(lookup)

    def same(self, said, evidence_id):
        """It rests on this evidence, and says the same of its origin."""
        if said["evidence_id"] != evidence_id:
            raise Wrong("it names the evidence %s; under its key stands %s" % (said["evidence_id"], evidence_id))
        if said["provenance"] != self.row(evidence_id, SCHEMAS["evidence"])["provenance"]:
            raise Wrong("its provenance is not that of its evidence")

    def judged(self, said, scored_id):
        if scored_id is None:
            raise Wrong("no scored run has its key")
        scored = self.row(scored_id, SCHEMAS["scored-runs"])
        if scored["evidence_id"] != said["evidence_id"]:
            raise Wrong("its scored run is of other evidence")
        if scored["category"] != said.get("quality_score", said.get("source_category")):
            raise Wrong("its category is not that of its scored run")

    def sides(self, key, said, evidence):
        for side in ("chosen", "rejected"):
            name = said["evidence_ids"][side]
            of = self.row(name, SCHEMAS["evidence"])
            if evidence.get(of["key"]) != name:
                raise Wrong("the evidence of the %s side is not in the dataset" % side)
            if of["provenance"] != said["provenance"][side]:
                raise Wrong("the provenance of the %s side is not that of its evidence" % side)
            if side == "chosen" and key.rsplit("+", 1)[0] != of["key"]:
                raise Wrong("its key does not begin with that of the chosen side")

    def refused(self, said, sources):
        self.get(said["refused_id"])
        self.source(said["provenance"], sources)
        if said["stage"] == "evidence" and said["refused_id"] != said["provenance"]["raw_id"]:
            raise Wrong("it does not name the source row that was refused")
        if said["stage"] != "evidence":
            if self.row(said["refused_id"], SCHEMAS["evidence"])["provenance"] != said["provenance"]:
                raise Wrong("its provenance is not that of the evidence that was refused")

    def verify(self):
        for entry in self.replay():
            path = os.path.join(self.folder, "packs", entry["id"] + ".pack")
            try:
                pack = Pack(path, entry["id"], self.find)
            except OSError as error:
                self.find("V0", "pack", None, path, "it cannot be read: %s" % error.strerror)
                continue
            if (len(pack.data), len(pack.objects)) != (int(entry["bytes"]), int(entry["objects"])) and not self.findings:
                self.find("V0", "pack", None, path, "it has other bytes or objects than its operation says")
            self.packs.append(pack)
            self.counts["packs"] += 1
            self.counts["packed_objects"] += len(pack.objects)
        self.history()

def main():
    names = [name for name in sys.argv[1:] if name != "--json"]
    if len(names) != 1:
        sys.exit(__doc__)
    folder = os.path.join(names[0], ".distill")
    store = Store(folder if os.path.isdir(folder) else names[0])
    store.verify()
    sound = not store.findings
    if "--json" in sys.argv[1:]:
        print(json.dumps({"sound": sound, "covered": store.counts, "findings": store.findings, "refs": store.refs}))
        sys.exit(0 if sound else 4)
    print(", ".join("%d %s" % (number, what.replace("_", " ")) for what, number in store.counts.items()))
    for finding in store.findings:
        print("%(level)s %(kind)s %(object)s in %(place)s: %(detail)s" % finding)
    print("Everything holds." if sound else "%d findings." % len(store.findings))
    sys.exit(0 if sound else 4)

main()
