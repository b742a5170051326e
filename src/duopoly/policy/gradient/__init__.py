"""Policy players that take gradient steps in imagination: npg, trpo and pg."""
