"""The command line: what every command is made with, and the commands of the client. The service's join them."""
