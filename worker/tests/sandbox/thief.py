"""A hostile stand-in for an agent and for a build. It tries everything in plan.json, which only says where to look; a theft
counts when it holds the very secret that was laid there, known by its hash, or when it changed what it must not."""

import array, ctypes, errno, hashlib, json, os, socket, struct, sys

WHO = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
PLAN = json.load(open(os.path.join(HERE, "plan.json")))
LIBC = ctypes.CDLL(None, use_errno=True)
THEFTS = {}


def theft(function):
    THEFTS[function.__name__] = function
    return function


def is_secret(data):
    """Whether one of the secrets is in some bytes."""
    if isinstance(data, str):
        data = data.encode()
    for length, wanted in PLAN["secrets"]:
        at = data.find(b"canary-")
        while at >= 0:
            if hashlib.sha256(data[at : at + length]).hexdigest() == wanted:
                return True
            at = data.find(b"canary-", at + 1)
    return False


def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 20)


def holds(path):
    return is_secret(read(path))


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def any_of(look, things):
    for thing in things:
        try:
            if look(thing):
                return True
        except OSError:
            pass
    return False


def below(folder):
    for root, _, files in os.walk(folder):
        for name in files:
            yield os.path.join(root, name)


def connects(family, address, say=b"GET / HTTP/1.0\r\n\r\n"):
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.settimeout(2)
        line.connect(address)
        line.sendall(say)
        return is_secret(line.recv(4096))


def memory_of(process):
    """The heap and the stack of a process, through /proc."""
    for line in open(f"/proc/{process}/maps"):
        if "[heap]" in line or "[stack]" in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            with open(f"/proc/{process}/mem", "rb", 0) as memory:
                memory.seek(start)
                if memory.read(min(end - start, 4096)):
                    return True
    return False


@theft
def own_environment():
    return any(is_secret(value) for value in os.environ.values())


@theft
def environment_of_processes():
    return any_of(lambda pid: holds(f"/proc/{pid}/environ"), processes())


@theft
def environment_of_the_worker():
    return holds(f"/proc/{PLAN['worker']}/environ")


@theft
def memory_of_the_worker():
    return memory_of(PLAN["worker"])


@theft
def trace_the_worker():
    attached = LIBC.ptrace(16, PLAN["worker"], None, None) == 0
    if attached:
        os.waitpid(PLAN["worker"], 0)
        LIBC.ptrace(17, PLAN["worker"], None, None)
    return attached


def filters(process):
    """How many filters of system calls a process has."""
    lines = open(f"/proc/{process}/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Seccomp_filters:"))


@theft
def hands_that_are_less_bound():
    """A process whose memory can be written does what it is made to: it must not be allowed more than we are."""

    def is_one(process):
        with open(f"/proc/{process}/mem", "r+b", 0):
            return filters(process) == 0 or filters(process) < filters("self")

    return any_of(is_one, processes())


@theft
def read_across_processes():
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    for line in open(f"/proc/{PLAN['worker']}/maps"):
        start = int(line.split("-")[0], 16)
        buffer = ctypes.create_string_buffer(64)
        local = Vector(ctypes.cast(buffer, ctypes.c_void_p), 64)
        remote = Vector(start, 64)
        return LIBC.process_vm_readv(PLAN["worker"], ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0
    return False


@theft
def signal_the_worker():
    os.kill(PLAN["worker"], 0)
    return True


@theft
def open_files_of_the_worker():
    folder = f"/proc/{PLAN['worker']}/fd"
    return any_of(lambda name: "hermes.db" in os.readlink(f"{folder}/{name}"), os.listdir(folder))


@theft
def root_of_the_worker():
    return holds(f"/proc/{PLAN['worker']}/root{PLAN['home']}/.aws/credentials")


@theft
def folder_of_the_worker():
    return len(os.listdir(f"/proc/{PLAN['worker']}/cwd")) > 0


@theft
def name_another_file_of_the_worker():
    return os.stat(f"/proc/{PLAN['worker']}/exe").st_size > 0


@theft
def aws_credentials():
    return holds(PLAN["home"] + "/.aws/credentials")


@theft
def ssh_key():
    return holds(PLAN["home"] + "/.ssh/id_ed25519")


@theft
def git_credentials():
    return holds(PLAN["home"] + "/.git-credentials")


@theft
def npm_credentials():
    return holds(PLAN["home"] + "/.npmrc")


@theft
def data_directory():
    return len(os.listdir(PLAN["data"])) > 0


@theft
def database():
    return read(PLAN["data"] + "/hermes.db").startswith(b"SQLite")


@theft
def admin_token():
    return holds(PLAN["data"] + "/admin-token")


@theft
def raw_mails():
    return any_of(holds, below(PLAN["data"] + "/objects"))


@theft
def another_workspace():
    return holds(PLAN["workspaces"] + "/other-user/repo/secret.txt")


@theft
def write_into_another_workspace():
    with open(PLAN["workspaces"] + f"/other-user/repo/planted-by-{WHO}", "w") as file:
        file.write("x")
    return True


@theft
def home_of_another_job():
    return holds(PLAN["workspaces"] + "/other-user/agent-home/secret.txt")


@theft
def plant_a_hook():
    with open(os.path.join(HERE, f".git/hooks/post-commit-{WHO}"), "w") as file:
        file.write("#!/bin/true\n")
    return True


@theft
def point_the_remote_elsewhere():
    with open(os.path.join(HERE, ".git/config"), "a") as file:
        file.write("# planted\n")
    return True


@theft
def put_another_history_in_place():
    os.rename(os.path.join(HERE, ".git"), os.path.join(HERE, ".git-of-before"))
    os.rename(os.path.join(HERE, ".git-of-before"), os.path.join(HERE, ".git"))
    return True


@theft
def docker_socket():
    return connects(socket.AF_UNIX, PLAN["docker"])


@theft
def abstract_socket():
    return connects(socket.AF_UNIX, "\0" + PLAN["abstract"])


@theft
def service_on_loopback():
    return connects(socket.AF_INET, ("127.0.0.1", PLAN["service"]))


@theft
def service_on_loopback_by_the_newer_protocol():
    return connects(socket.AF_INET6, ("::ffff:127.0.0.1", PLAN["service"]))


@theft
def service_on_loopback_by_many_paths():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as line:
        line.settimeout(2)
        line.connect(("127.0.0.1", PLAN["service"]))
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return is_secret(line.recv(4096))


@theft
def service_on_loopback_by_datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(2)
        line.sendto(b"anybody?", ("127.0.0.1", PLAN["datagrams"]))
        return is_secret(line.recv(4096))


@theft
def service_on_loopback_without_connecting():
    """What is said first opens the line (TCP Fast Open)."""
    fast_open = 0x20000000

    def by(send):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 2, 0))
            send(line, b"GET / HTTP/1.0\r\n\r\n", ("127.0.0.1", PLAN["service"]))
            return is_secret(line.recv(4096))

    ways = [
        lambda line, say, address: line.sendto(say, fast_open, address),
        lambda line, say, address: line.sendmsg([say], [], fast_open, address),
    ]
    return any_of(by, ways)


@theft
def metadata_of_the_machine():
    return connects(socket.AF_INET, ("169.254.169.254", 80))


@theft
def metadata_of_the_task():
    return connects(socket.AF_INET, ("169.254.170.2", 80))


@theft
def shared_memory():
    return holds("/dev/shm/" + PLAN["shared"])


@theft
def leave_shared_memory_to_others():
    """In the very folder in which that of others lies."""
    with open(f"/dev/shm/{PLAN['shared']}-planted-by-{WHO}", "w") as file:
        file.write("x")
    return os.path.exists("/dev/shm/" + PLAN["shared"])


@theft
def leave_segments_and_queues_to_others():
    """What no folder shows and no end of a process takes away."""
    new = 0o1000 | 0o600
    queue = f"/{PLAN['shared']}-{WHO}".encode()
    made = [
        (LIBC.shmget(0, 4096, new), lambda made: LIBC.shmctl(made, 0, None)),
        (LIBC.msgget(0, new), lambda made: LIBC.msgctl(made, 0, None)),
        (LIBC.semget(0, 1, new), lambda made: LIBC.semctl(made, 0, 0)),
        (LIBC.mq_open(queue, os.O_CREAT | os.O_RDWR, 0o600, None), lambda made: LIBC.mq_unlink(queue)),
    ]
    for one, remove in made:
        if one >= 0:
            remove(one)
    return any(one >= 0 for one, _ in made)


@theft
def temporary_files():
    return holds("/tmp/" + PLAN["shared"])


@theft
def write_temporary_files_of_all():
    with open(f"/tmp/{PLAN['shared']}-planted-by-{WHO}", "w") as file:
        file.write("x")
    return os.path.exists(f"/proc/{PLAN['worker']}/root/tmp/{PLAN['shared']}-planted-by-{WHO}")


@theft
def machine_folder():
    with open(PLAN["machine"] + f"/planted-by-{WHO}", "w") as file:
        file.write("x")
    return True


@theft
def inherited_files():
    def is_one(name):
        leads_to = os.readlink(f"/proc/self/fd/{name}")
        return int(name) > 2 and ("lock" in leads_to or "hermes" in leads_to)

    return any_of(is_one, os.listdir("/proc/self/fd"))


@theft
def type_for_whoever_sits_at_the_terminal():
    """Where there is none the kernel says so; behind walls it is not asked."""
    return LIBC.ioctl(0, 0x5412, b"x") == 0 or ctypes.get_errno() != errno.EPERM


@theft
def password_hashes():
    return len(read("/etc/shadow")) > 0


@theft
def become_root():
    os.setresuid(0, 0, 0)
    return len(os.listdir(PLAN["home"])) > 0


@theft
def mount_something():
    return LIBC.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0 and LIBC.umount2(b"/mnt", 2) == 0


@theft
def leave_the_namespace():
    with open(f"/proc/{PLAN['worker']}/ns/mnt") as namespace:
        return LIBC.setns(namespace.fileno(), 0) == 0


@theft
def kernel_settings():
    path = "/proc/sys/kernel/core_pattern"
    before = read(path)
    with open(path, "wb") as file:
        file.write(before)
    return True


@theft
def socket_to_the_host_of_the_machine():
    socket.socket(40, socket.SOCK_STREAM).close()
    return True


@theft
def key_rings():
    return LIBC.syscall(250, 0, -3, 1) > 0


def attempt(function):
    try:
        return bool(function())
    except Exception:
        return False


got = {name: attempt(function) for name, function in THEFTS.items()}
os.makedirs(os.path.join(HERE, "dist" if WHO == "build" else "site"), exist_ok=True)
place = os.path.join(HERE, "dist" if WHO == "build" else "site", f"loot-{WHO}.json")
json.dump(got, open(place, "w"))
if WHO == "build":
    open(os.path.join(HERE, "dist/index.html"), "w").write("x")
    agents = os.path.join(HERE, "site/loot-agent.json")
    open(os.path.join(HERE, "dist/loot-agent.json"), "w").write(open(agents).read())
else:
    print(json.dumps({"type": "result", "subtype": "success", "result": "done"}))
