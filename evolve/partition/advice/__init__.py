"""Advice on partitioned and ordinary tables, worked out from plans, statistics and recorded statements alone."""
