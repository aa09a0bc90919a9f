"""Python's email package over one mail again and again: `email_package.py FILE MILLISECONDS`; prints mails a second and KB of memory."""
import resource
import sys
import time
from email import message_from_bytes
from email.policy import default

with open(sys.argv[1], "rb") as file:
    raw = file.read()


def read():
    mail = message_from_bytes(raw, policy=default)
    author = mail["from"].addresses[0].addr_spec
    text = mail.get_body(("plain", "html")).get_content()
    files = [part.get_content() for part in mail.iter_attachments()]
    assert author and text and mail["subject"] and len(files) == 1


for _ in range(20):
    read()
begun, count = time.perf_counter(), 0
while time.perf_counter() - begun < int(sys.argv[2]) / 1000:
    read()
    count += 1
print(count / (time.perf_counter() - begun), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
