from .world import World
def test_world(world: World, everything) -> None:
    import time
    t=time.time(); found = world.verify(); print(time.time()-t)
    print(found)
    print(len(everything._items), {k: len(v) for k,v in everything._objects.items()})
    print(*everything._objects[everything.evidence], sep="\n")
