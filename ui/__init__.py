"""What people see: pages in Streamlit over the gateway's HTTP and WebSocket."""
