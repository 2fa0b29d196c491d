"""What one sees who plays with a machine: who maps a page, and what an object says of itself."""

from rmaplab.machine.model import ModelMachine

PAGE = 4096


def test_who_names_every_process_that_maps_the_page() -> None:
    with ModelMachine() as machine:
        parent = machine.spawn()
        address = parent.mmap(4 * PAGE)
        parent.write(address, 4 * PAGE)
        child = parent.fork()
        assert machine.who(address + PAGE + 5)["mm"].to_list() == [parent.mm, child.mm]
        child.write(address + PAGE, PAGE)
        mine = machine.who(address + PAGE)
        assert mine["mm"].to_list() == [parent.mm, child.mm]
        assert mine["frame"].n_unique() == 2
        assert machine.who(address + 64 * PAGE).is_empty()


def test_machine_and_process_say_what_they_are() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        process.mmap(4 * PAGE)
        assert repr(machine) == "<ModelMachine model:linux-6.18: 1 process>"
        assert repr(process) == "<ModelProcess MM 1: 1 area, 16 KiB>"
        process.exit()
        assert repr(process) == "<ModelProcess MM 1, ended>"
