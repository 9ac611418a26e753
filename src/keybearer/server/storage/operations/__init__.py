"""What is done on the database, one file per kind of thing; written once for both databases.

Locks are taken in one order, so that two transactions never wait for each other: the user or the application, then its
sessions in the order of their ids, then whatever nobody else holds, and the feed's counter last (`log.append`).
"""
