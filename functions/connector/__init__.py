"""What feeds functions from RabbitMQ where no broker of the platform does."""
