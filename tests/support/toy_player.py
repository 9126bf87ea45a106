"""A program that plays the first legal tile. It knows zebjax only by zebjax/engine.md."""

import json
import sys


def pips(name):
    return int(name[0]), int(name[2])


def called(tile, declaration):
    kind, _, pip = declaration.partition(" ")
    return tile[0] == tile[1] if kind == "doubles" else kind == "trump" and int(pip) in tile


def follows(tile, led, declaration):
    if called(led, declaration) or called(tile, declaration):
        return called(led, declaration) and called(tile, declaration)
    return led[0] in tile


def rank(tile, led, declaration):
    is_trump = called(tile, declaration) and declaration != "doubles suit"
    is_of_doubles = called(tile, declaration) and declaration.startswith("doubles")
    height = tile[0] if is_of_doubles else 14 if tile[0] == tile[1] else sum(tile)
    return 40 + height if is_trump else 20 + height if follows(tile, led, declaration) else 0


def answer(position):
    declaration, leader, points = position["declaration"], position["leader"], [0, 0]
    plays = [pips(name) for name in position["plays"]]
    while len(plays) >= 4:
        trick, plays = plays[:4], plays[4:]
        ranks = [rank(tile, trick[0], declaration) for tile in trick]
        leader = (leader + ranks.index(max(ranks))) % 4
        points[leader % 2] += 1 + sum(sum(tile) for tile in trick if sum(tile) % 5 == 0)
    [hand] = [hand for hand in position["hands"] if hand]
    left = [name for name in hand if name not in position["plays"]]
    legal = [name for name in left if plays and follows(pips(name), plays[0], declaration)] or left
    return {"move": legal[0], "leader": leader, "points": points}


for line in sys.stdin:
    request = json.loads(line)
    is_hello = request["request"] == "hello"
    reply = {"name": "toy", "version": 1} if is_hello else answer(request["position"])
    print(json.dumps({"id": request["id"], **reply}), flush=True)
