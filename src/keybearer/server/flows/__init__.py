"""What the service does, one thing a file. Each flow is made by the composition root and knows ports and domain only.

A flow commits its outcome first and raises after, so that no refusal takes back what it has set off.
"""
