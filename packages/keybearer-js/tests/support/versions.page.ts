import axios from "axios";

document.title = [axios.VERSION, process.env.NODE_ENV, process.env.REACT_APP_AUTH_API_KEY].join(" ");
