"""The load's side: programs that send requests and print one line of JSON."""
