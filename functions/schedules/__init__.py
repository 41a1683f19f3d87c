"""/api/v1/schedules: tasks that come again by themselves."""
