//! SQLite store and queues, local objects: the ports on one machine.
