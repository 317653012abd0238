"""The interface everything stands on: rules, phases, episodes, the inner loop, losses."""
