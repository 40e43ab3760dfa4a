// The entry of the page: one screen for now, the command screen.
import { render } from 'solid-js/web';
import { CommandScreen } from './screens/command/CommandScreen';
import './styles.css';

const root = document.getElementById('app');
if (root) render(() => <CommandScreen />, root);
